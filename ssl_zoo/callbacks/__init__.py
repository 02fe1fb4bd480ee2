"""Lightning callbacks: what is watched, saved, drawn and repeated while a method trains."""
