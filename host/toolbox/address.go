package toolbox

import (
	"net/netip"
	"strings"

	"github.com/writ-run/writ/abi"
)

// checkHost admits an IP address in its canonical form or a DNS name. A name
// whose last label is a number is what inet_aton would take for an address
// ("127.1", "0x7f000001", "2130706433"), so it is neither.
func checkHost(host string) *abi.Failure {
	if _, err := netip.ParseAddr(host); err == nil && !strings.Contains(host, "%") {
		return nil
	}
	bad := failInvalid("the host is neither an address in its usual form nor a DNS name", "write an internationalised name in its ASCII form (xn--...)")
	name := strings.TrimSuffix(host, ".")
	if name == "" || len(name) > 253 {
		return bad
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return bad
		}
	}
	last := labels[len(labels)-1]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return bad
	}
	return nil
}
