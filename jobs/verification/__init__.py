"""The proof that runs are what they say, out of the files alone; nothing here knows the code that wrote them."""
