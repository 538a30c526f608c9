"""Data in files and data sets: tables in and out, and samples made of their rows."""
