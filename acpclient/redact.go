package acpclient

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// hidden is embedded by every type that holds a secret and that may be stored as JSON.
type hidden struct{}

// Format prints no field, whatever the verb.
func (hidden) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String prints no field.
func (hidden) String() string { return redacted }

// GoString prints no field.
func (hidden) GoString() string { return redacted }

// LogValue logs no field.
func (hidden) LogValue() slog.Value { return slog.StringValue(redacted) }

// sealed is hidden for what must not become JSON either.
type sealed struct{ hidden }

// MarshalJSON gives no field.
func (sealed) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }
