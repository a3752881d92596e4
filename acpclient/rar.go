package acpclient

import (
	"errors"

	"github.com/acp-go/acp/internal/strictjson"
)

// maxDetails is more than anybody asks for at once.
const maxDetails = 100

// checkDetails obeys RFC 9396 2: an array of objects, each of a `type`. Names that come twice
// would be read by the server in its own way.
func checkDetails(details []byte) error {
	doc, err := strictjson.Parse(`{"authorization_details":` + string(details) + `}`)
	if err != nil || len(doc) != 1 {
		return errors.New("not JSON without duplicate names")
	}
	list, ok := doc[0].Value.Array(maxDetails)
	if !ok || len(list) == 0 {
		return errors.New("not an array of 1 to 100 objects")
	}
	for _, v := range list {
		o, ok := v.Object()
		typ, _ := o.Value("type")
		if s, isString := typ.String(); !ok || !isString || s == "" {
			return errors.New("an element is not an object with a type")
		}
	}
	return nil
}
