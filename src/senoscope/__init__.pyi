from senoscope.data.phantoms import simulate as simulate
from senoscope.errors import SenoscopeError as SenoscopeError
from senoscope.imaging import read_image as read_image
from senoscope.inference.analyzer import Analyzer as Analyzer
from senoscope.inference.analyzer import analyze as analyze
from senoscope.inference.bundle import load_bundle as load_bundle
from senoscope.models import create_model as create_model
from senoscope.schema import Finding as Finding
from senoscope.schema import Prediction as Prediction
from senoscope.schema import Record as Record
from senoscope.schema import Report as Report
from senoscope.schema import Sample as Sample

__version__: str
