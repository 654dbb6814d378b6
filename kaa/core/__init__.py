"""The floor that every service stands on; knows none of them."""
