"""Lightning callbacks: what is watched, saved and repeated while a method trains."""
