"""The networks: light U-GAT-IT with hourglass modules, its discriminators, and the face network of the Face ID loss."""
