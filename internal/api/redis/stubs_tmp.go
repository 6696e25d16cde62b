package redis

func hashCommands() []Command    { return nil }
func hashTTLCommands() []Command { return nil }
func keyCommands() []Command     { return nil }
func expireCommands() []Command  { return nil }
func scanCommands() []Command    { return nil }
func objectCommands() []Command  { return nil }
func commandCommands() []Command { return nil }
func serverCommands() []Command  { return nil }
