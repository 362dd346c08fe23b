"""Sign-in: passwords, second factors, sessions that end, fresh sign-ins. docs/signin.md tells what a person meets."""
