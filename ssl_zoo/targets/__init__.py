"""What methods predict, made of inputs before anything in them is hidden or changed."""
