"""What a developer runs by hand: pictures of the screens, the graph of the packages."""
