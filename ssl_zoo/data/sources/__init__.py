"""Where raw examples and labels come from: embedded, downloaded, or a user's own folder."""
