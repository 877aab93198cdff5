// Command go is the conformance skill in Go; ../README.md says what each action does.
package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"time"
	"unsafe"

	"github.com/writ-run/writ/sdk"
)

type nothing struct{}

type anything = map[string]json.RawMessage

func echo(_ *sdk.Context, in anything) (anything, error) { return in, nil }

type bigIn struct {
	Text string `json:"text"`
}

type bigOut struct {
	Bytes uint   `json:"bytes"`
	Sum   uint32 `json:"sum"`
	Text  string `json:"text"`
}

func big(_ *sdk.Context, in bigIn) (bigOut, error) {
	sum := fnv.New32a()
	if _, err := sum.Write([]byte(in.Text)); err != nil {
		return bigOut{}, err
	}
	return bigOut{Bytes: uint(len(in.Text)), Sum: sum.Sum32(), Text: in.Text}, nil
}

type growIn struct {
	MiB uint `json:"mib"`
}

type growOut struct {
	Pages uint   `json:"pages"`
	Sum   uint32 `json:"sum"`
}

const (
	basis = 2166136261 // of FNV-1a
	prime = 16777619
	piece = 1 << 20
	page  = 64 << 10
	pages = piece / page
)

func grow(_ *sdk.Context, in growIn) (growOut, error) {
	sum, all := uint32(basis), make([][]byte, in.MiB)
	for i := range all {
		all[i] = make([]byte, piece)
		for j := range pages {
			at := all[i][j*page:]
			sum = (sum ^ binary.LittleEndian.Uint32(at)) * prime
			binary.LittleEndian.PutUint32(at, uint32(i*pages+j))
		}
	}
	for _, one := range all {
		for j := range pages {
			sum = (sum ^ binary.LittleEndian.Uint32(one[j*page:])) * prime
		}
	}
	return growOut{Pages: in.MiB * pages, Sum: sum}, nil
}

type failIn struct {
	Reason string `json:"reason"`
}

func fail(_ *sdk.Context, in failIn) (nothing, error) {
	return nothing{}, &sdk.Failure{Code: "refused", Message: in.Reason, Fix: "ask for something else"}
}

// trap reads beyond the end of its memory: a panic would be a failure like another.
func trap(_ *sdk.Context, in nothing) (nothing, error) {
	return in, giveUp(unsafe.Pointer(&in))
}

//go:noinline
func giveUp(at unsafe.Pointer) error {
	return sdk.Fail("not_trapped", string(rune(*(*byte)(unsafe.Add(at, 3<<30)))))
}

type drawn struct {
	Nanoseconds uint   `json:"nanoseconds"`
	Random      string `json:"random"`
	Seconds     uint   `json:"seconds"`
}

func randomAndClock(_ *sdk.Context, _ nothing) (drawn, error) {
	var bytes [16]byte
	if _, err := rand.Read(bytes[:]); err != nil {
		return drawn{}, err
	}
	now := time.Now()
	return drawn{Nanoseconds: uint(now.Nanosecond()), Random: hex.EncodeToString(bytes[:]), Seconds: uint(now.Unix())}, nil
}

type toolsIn struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type toolsOut struct {
	Found bool   `json:"found"`
	Value string `json:"value"`
}

func tools(c *sdk.Context, in toolsIn) (toolsOut, error) {
	if err := sdk.KVPut(c, in.Key, in.Value); err != nil {
		return toolsOut{}, err
	}
	value, found, err := sdk.KVGet(c, in.Key)
	if err != nil {
		return toolsOut{}, err
	}
	sdk.Log(c, sdk.LevelInfo, value)
	return toolsOut{Found: found, Value: value}, nil
}

type spinIn struct {
	N uint64 `json:"n"`
}

type spinOut struct {
	State uint32 `json:"state"`
}

// spin is xorshift32 (Marsaglia 2003).
func spin(_ *sdk.Context, in spinIn) (spinOut, error) {
	state := uint32(2463534242)
	for range in.N {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
	}
	return spinOut{State: state}, nil
}

var (
	_ = sdk.Action("echo", echo)
	_ = sdk.Action("big", big)
	_ = sdk.Action("grow", grow)
	_ = sdk.Action("fail", fail)
	_ = sdk.Action("trap", trap)
	_ = sdk.Action("random_and_clock", randomAndClock)
	_ = sdk.Action("floats", floats)
	_ = sdk.Action("tools", tools)
	_ = sdk.Action("spin", spin)
	_ = sdk.Action("typed", typed)
	_ = sdk.Action("world", world)
	_ = sdk.Action("call", call)
	_ = sdk.Action("tell", tell)
)

func main() {} // a skill is entered through its actions
