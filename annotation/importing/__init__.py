"""What comes in from files: formats, layouts, columns of data sets, and what is refused. Writes through `services`."""
