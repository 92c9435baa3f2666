"""The gateway: images arrive from a PACS or a device, results go back; nothing acknowledged is ever lost."""
