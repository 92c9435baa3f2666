"""Fitting into a hospital: DICOM objects in and out, de-identification, the service. Never imports torch."""
