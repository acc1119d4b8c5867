"""One system a module. A module is imported only in the environment that holds its packages."""
