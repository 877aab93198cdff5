package writ

// Delegation lets a person decide approvals in the place of one who is away. It
// gives nothing else, and nothing of what was delegated to the one who is away.
type Delegation struct {
	ID        string      `json:"id"`
	Tenant    TenantID    `json:"tenant"`
	By        PrincipalID `json:"by"` // who is away
	To        PrincipalID `json:"to"`
	Roles     []string    `json:"roles"` // of By, in which To decides; sorted
	From      Time        `json:"from"`
	Until     Time        `json:"until"` // the first moment at which it no longer holds
	Reason    string      `json:"reason"`
	CreatedAt Time        `json:"createdAt"`
}

// Holds reports whether the delegation counts at a moment.
func (d *Delegation) Holds(at Time) bool { return d.From <= at && at < d.Until }
