"""The API's addresses, and the pages of the portal on which people make and revoke their tokens."""
