"""An archive from a URL or a file becomes a data set folder: fetched, checked, unpacked safely, whole or not at all."""
