package acpclient

import "time"

// wallClock is the only reading of the clock: every value of this package has a clock that is this.
func wallClock() time.Time { return time.Now() }
