package acpclient

// judgeOffer wants the server to offer what the configuration, or the server itself, demands: in
// Ready, and before any redirect. There is no falling back to less (RFC 9101 10.5).
func (c *Client) judgeOffer(m *Metadata) error {
	for _, judge := range [...]func(*Metadata) error{
		c.judgeProfile, c.judgePushing, c.judgeRequestObject, c.judgeResponseMode, c.config.Decryption.judge,
	} {
		if err := judge(m); err != nil {
			return err
		}
	}
	return nil
}
