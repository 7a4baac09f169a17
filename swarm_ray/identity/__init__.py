"""Who a node is: its key, the peer id and the animal name that follow from it, and where the key is kept."""
