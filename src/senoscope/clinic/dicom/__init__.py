"""DICOM in, DICOM out: from images of a study to segmentations, structured reports and pictures. See ``objects``."""
