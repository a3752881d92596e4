package acpclient

// asymmetricAlgs are the algorithms that are accepted where nothing narrows them: all
// that algorithmNamed knows.
var asymmetricAlgs = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

func isAsymmetric(alg string) bool {
	_, ok := algorithmNamed(alg)
	return ok
}

func isHMAC(alg string) bool { return hmacSize(alg) > 0 }
