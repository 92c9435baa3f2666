"""Copies of DICOM images without what identifies the patient (DICOM PS3.15 Annex E). See ``folder``."""
