"""An artifact's classifier in other forms, each checked against torch before it is used."""
