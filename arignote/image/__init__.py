"""What can be done to images before a network sees them."""
