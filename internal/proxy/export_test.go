package proxy

// Waiting is how many clients wait in the proxy's line, and how many at the side that decides.
func (p *Proxy) Waiting() (inLine, there int) {
	return int(p.line.count.Load()), p.natives.each(func(*native) {})
}
