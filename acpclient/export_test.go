package acpclient

import "time"

// SetClock gives the Client another clock. It is called before the first use.
func (c *Client) SetClock(now func() time.Time) { c.provider.now = now }

// SetClock gives the Verifier another clock. It is called before the first use.
func (v *Verifier) SetClock(now func() time.Time) { v.provider.now = now }
