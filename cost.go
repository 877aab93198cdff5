package writ

import (
	"encoding/json"
	"math/bits"
	"regexp"
	"strconv"
	"strings"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// amountForm is a decimal of at most 12 digits and 6 more: its millionths fit into
// 64 bits. There is no sign and no exponent.
var amountForm = regexp.MustCompile(`^([0-9]{1,12})(?:\.([0-9]{1,6}))?$`)

// CostOf is what a call takes of budgets: of each kind the most that a capability
// says which allows it. CodeInvalid where an amount is not there, is no plain
// decimal, or is too large: the call must not be made.
func CostOf(capabilities []Capability, call *CallFacts) (Amounts, error) {
	var out Amounts
	for i := range capabilities {
		c := &capabilities[i]
		if len(c.Costs) == 0 || !CapabilityAllows(c, call) {
			continue
		}
		var sum Amounts
		for k := range c.Costs {
			n, err := costOf(&c.Costs[k], call)
			if err == nil && n > MaxAmount-sum.Of(BudgetKind(c.Costs[k].Kind)) {
				err = Errorf(CodeInvalid, "tool "+call.Tool, "what it costs is beyond %d", int64(MaxAmount))
			}
			if err != nil {
				return Amounts{}, err
			}
			if c.Costs[k].Kind == abi.CostTokens {
				sum.Tokens += n
			} else {
				sum.Spend += n
			}
		}
		out.Spend, out.Tokens = max(out.Spend, sum.Spend), max(out.Tokens, sum.Tokens)
	}
	return out, nil
}

func costOf(cost *abi.Cost, call *CallFacts) (int64, error) {
	if cost.Pointer == "" {
		if cost.Amount < 0 || cost.Amount > MaxAmount {
			return 0, Errorf(CodeInvalid, "tool "+call.Tool, "the cost that its skill declares is no amount")
		}
		return cost.Amount, nil
	}
	refused := func(why string) error {
		return Errorf(CodeInvalid, "tool "+call.Tool, "the amount at %s of its arguments %s", cost.Pointer, why).
			WithFix("send a plain decimal that is not negative, such as 12 or 12.50")
	}
	text, ok := amountAt(call, cost.Pointer)
	if !ok {
		return 0, refused("is not there")
	}
	parts := amountForm.FindStringSubmatch(text)
	if parts == nil {
		return 0, refused("is no plain decimal")
	}
	n, ok := scaled(parts[1], parts[2], max(cost.Times, 1))
	if !ok {
		return 0, refused("is too large")
	}
	return n, nil
}

// scaled is whole.fraction times a factor, rounded up.
func scaled(whole, fraction string, times int64) (int64, bool) {
	digits, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", 6-len(fraction)), 10, 64)
	if err != nil || times < 1 {
		return 0, false
	}
	high, low := bits.Mul64(digits, uint64(times))
	if high >= microUnits { // the quotient does not fit
		return 0, false
	}
	n, rest := bits.Div64(high, low, microUnits)
	if rest > 0 {
		n++
	}
	return int64(min(n, MaxAmount+1)), n <= MaxAmount
}

// amountAt is the number or the string at an RFC 6901 pointer. What stands behind
// /body of an HTTP request points into its body, read as JSON by the same strict
// rules as everything that comes in.
func amountAt(call *CallFacts, pointer string) (string, bool) {
	value := json.RawMessage(call.Arguments)
	for i, token := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if i == 1 && call.Tool == abi.ToolHTTPRequest && strings.HasPrefix(pointer, "/body/") {
			var body string
			if json.Unmarshal(value, &body) != nil {
				return "", false
			}
			form, err := canon.JSON([]byte(body))
			if err != nil {
				return "", false
			}
			value = form
		}
		if value = memberAt(value, unescapeToken(token)); value == nil {
			return "", false
		}
	}
	if len(value) > 0 && value[0] == '"' {
		var text string
		err := json.Unmarshal(value, &text)
		return text, err == nil
	}
	return string(value), true
}

func unescapeToken(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}

// memberAt is a member of an object or an element of a list, nil where there is none.
func memberAt(value json.RawMessage, token string) json.RawMessage {
	var object map[string]json.RawMessage
	if json.Unmarshal(value, &object) == nil {
		return object[token]
	}
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return nil
	}
	i, err := strconv.Atoi(token)
	if err != nil || i < 0 || i >= len(list) || strconv.Itoa(i) != token {
		return nil
	}
	return list[i]
}
