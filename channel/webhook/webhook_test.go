package webhook

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
)

func suite() *channeltest.Suite {
	return &channeltest.Suite{
		Adapter: Adapter{}, Key: []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Timed: true,
		// The example of the libraries of standardwebhooks.com.
		Vectors: []channeltest.Vector{{Name: "msg_p5jXN8AQM9LWM0D4loKWxJek", Key: []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Request: &channel.Request{
			Method: http.MethodPost, Body: []byte(`{"test": 2432232314}`), At: canon.TimeOf(time.Unix(1614265330, 0)), Header: http.Header{
				headerID: {"msg_p5jXN8AQM9LWM0D4loKWxJek"}, headerTimestamp: {"1614265330"}, headerSignature: {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
			},
		}}},
		Sign: func(key, body []byte, at time.Time) *channel.Request {
			return &channel.Request{Method: http.MethodPost, Body: body, Header: Sign(key, "msg_"+strconv.FormatInt(at.UnixNano(), 36), body, at)}
		},
		Text: func(thread, _, text string) []byte {
			return channeltest.Body(`{"type":"note.written","data":{"thread":%s,"text":%s}}`, thread, text)
		},
		Retry: func(key []byte, first *channel.Request, at time.Time) *channel.Request {
			return &channel.Request{Method: http.MethodPost, Body: first.Body, Header: Sign(key, first.Header.Get(headerID), first.Body, at)}
		},
		Attached: func(text, file string) []byte {
			return channeltest.Body(`{"type":"note.written","data":{"text":%s,"file":%s}}`, text, file)
		},
	}
}

func TestConformance(t *testing.T) { channeltest.Run(t, suite()) }

// TestWhatIsWrittenInJSONIsTaken too.
func TestWhatIsWrittenInJSONIsTaken(t *testing.T) {
	for _, media := range []string{"", "application/json", "application/cloudevents+json; charset=utf-8"} {
		r := suite().Sign(suite().Key, []byte(`{}`), channeltest.Now)
		r.At = canon.TimeOf(channeltest.Now)
		r.Header.Set("Content-Type", media)
		if _, err := (Adapter{}).Receive(r, [][]byte{suite().Key}); err != nil {
			t.Errorf("%q: %v", media, err)
		}
	}
}

func FuzzReceive(f *testing.F) {
	f.Add("id", "1614265330", "v1,AAAA", []byte(`{}`))
	f.Fuzz(func(t *testing.T, id, stamp, signature string, body []byte) {
		r := &channel.Request{Method: http.MethodPost, Body: body, At: canon.TimeOf(channeltest.Now), Header: http.Header{headerID: {id}, headerTimestamp: {stamp}, headerSignature: {signature}}}
		if receipt, err := (Adapter{}).Receive(r, [][]byte{[]byte("a key that nobody has guessed")}); err == nil {
			t.Fatalf("taken: %+v", receipt)
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, body := range channeltest.Hostile() {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) { channeltest.Read(t, Adapter{}, body, nil) })
}
