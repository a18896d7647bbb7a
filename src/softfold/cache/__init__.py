"""What was computed once and is kept on disk: the folder, and rows by the content of items."""
