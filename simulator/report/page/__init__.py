"""The report as one self-contained HTML page: charts drawn here as SVG, nothing fetched from anywhere."""
