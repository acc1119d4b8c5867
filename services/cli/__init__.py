"""The command line. Nothing here imports a heavy library before a command needs it."""
