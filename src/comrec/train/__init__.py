"""Training: networks, data, codec proxies, losses, loop, recipes, export. Needs comrec[train]."""
