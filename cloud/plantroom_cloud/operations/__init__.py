"""How the service is: what each process says of itself, and what is told to those who watch."""
