"""What is measured, against which peers; how and with which results is in README.md here."""
