"""A trained generator at work: pictures of any size, files, a page in the browser."""
