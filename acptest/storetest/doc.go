// Package storetest is the acceptance test of a middleware.Store and of a middleware.Lease.
// Whoever keeps sessions somewhere else than the stores that are known to work runs it
// against the real thing:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, mystore.New(databaseForTests))
//	}
//
// It takes about five seconds, since entries have to expire, and uses random tokens that
// start with "acp:", which it deletes at the end: what else is in the store does not matter.
// With -race it also finds data races of a store that lives in the process.
//
// The store's clock may differ from that of the test by a second.
package storetest
