"""The configuration file: read, checked as a whole, and held against this machine."""

from posd.config.file import load as load
from posd.config.file import load_document as load_document
from posd.config.file import shipped as shipped
