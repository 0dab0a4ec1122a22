"""The edge to the disk: headers, images and tables in, whole files or none out."""
