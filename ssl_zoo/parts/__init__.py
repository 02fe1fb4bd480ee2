"""Parts of methods that are no losses: heads, teachers, codebooks, queues."""
