package interop_test

import (
	"net"
	"sync"
	"testing"
	"time"
)

// tcpProxy is a network that a test can break. It passes bytes between addr and a target,
// at first without delay.
type tcpProxy struct {
	t            *testing.T
	addr, target string
	all          sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil: connections are refused
	pairs    map[*pair]bool
	passing  chan struct{} // closed while bytes pass
	latency  time.Duration
}

// pair is a connection of a client, and ours to the target.
type pair struct {
	client, server *net.TCPConn
	ended          chan struct{}
	end            func()
}

// startProxy listens on a free loopback port until the end of the test.
func startProxy(t *testing.T, target string) *tcpProxy {
	t.Helper()
	p := &tcpProxy{t: t, addr: "127.0.0.1:0", target: target, pairs: map[*pair]bool{}, passing: make(chan struct{})}
	close(p.passing)
	p.listen()
	t.Cleanup(func() {
		p.refuse()
		p.all.Wait()
	})
	return p
}

// delay makes every answer of the target come later by d.
func (p *tcpProxy) delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// hang takes connections and passes nothing more, in either direction.
func (p *tcpProxy) hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.passing:
		p.passing = make(chan struct{})
	default: // it hangs
	}
}

// cut ends every connection by a reset. New ones are served.
func (p *tcpProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.end()
	}
}

// refuse ends every connection and refuses new ones.
func (p *tcpProxy) refuse() {
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.cut()
}

// heal undoes delay, hang and refuse.
func (p *tcpProxy) heal() {
	p.t.Helper()
	p.delay(0)
	p.mu.Lock()
	select {
	case <-p.passing:
	default:
		close(p.passing)
	}
	refused := p.listener == nil
	p.mu.Unlock()
	if refused {
		p.listen()
	}
}

func (p *tcpProxy) listen() {
	p.t.Helper()
	var listener net.Listener
	// The port is free, unless a connection to somewhere else left from it meanwhile.
	eventually(p.t, "listening on "+p.addr, func() (bool, string) {
		l, err := net.Listen("tcp", p.addr)
		if err != nil {
			return false, err.Error()
		}
		listener = l
		return true, ""
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.addr = listener, listener.Addr().String()
	p.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // it was closed
			}
			p.all.Go(func() { p.carry(conn.(*net.TCPConn)) })
		}
	})
}

// carry passes bytes until either side, or the test, ends it.
func (p *tcpProxy) carry(client *net.TCPConn) {
	conn, err := net.DialTimeout("tcp", p.target, patience)
	if err != nil {
		reset(client)
		return
	}
	c := &pair{client: client, server: conn.(*net.TCPConn), ended: make(chan struct{})}
	c.end = sync.OnceFunc(func() {
		close(c.ended)
		reset(c.client)
		reset(c.server)
	})
	p.mu.Lock()
	p.pairs[c] = true
	if p.listener == nil { // refused since it was accepted
		c.end()
	}
	p.mu.Unlock()

	var both sync.WaitGroup
	both.Go(func() { p.copy(c, c.server, c.client, false) })
	both.Go(func() { p.copy(c, c.client, c.server, true) })
	both.Wait()

	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, c)
}

// copy ends the pair with its first error.
func (p *tcpProxy) copy(c *pair, to, from *net.TCPConn, answers bool) {
	defer c.end()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !p.wait(c, answers) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// wait is for what the test wants to wait for, and false when the pair ended meanwhile.
func (p *tcpProxy) wait(c *pair, answers bool) bool {
	p.mu.Lock()
	passing, latency := p.passing, p.latency
	p.mu.Unlock()
	if answers && latency > 0 {
		select {
		case <-time.After(latency):
		case <-c.ended:
			return false
		}
	}
	select {
	case <-passing:
		return true
	case <-c.ended:
		return false
	}
}

// reset closes a connection without the usual goodbye.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
