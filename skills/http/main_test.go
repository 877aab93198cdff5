package main

import (
	"errors"
	"reflect"
	"testing"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk"
	"github.com/writ-run/writ/sdk/sdktest"
)

const url = "https://example.com/x?q=1"

func TestEachMethodSendsItself(t *testing.T) {
	for action, method := range map[string]string{"get": "GET", "head": "HEAD", "delete": "DELETE"} {
		host := sdktest.New(t).ReplyHTTP(method, url, abi.HTTPResponse{Status: 404, Headers: map[string]string{"etag": "1"}, Body: "gone"})
		out, err := sdktest.Run[Out](host, action, ReadIn{URL: url, Headers: map[string]string{"accept": "text/plain"}})
		if err != nil || out.Status != 404 || out.OK || out.Body != "gone" || out.Binary || out.Headers["etag"] != "1" {
			t.Errorf("%s = %+v, %v", action, out, err)
		}
		if sent := host.Calls("")[0].HTTP(); sent.Headers["accept"] != "text/plain" || sent.Body != "" {
			t.Errorf("%s sent %+v", action, sent)
		}
	}
}

func TestWritesCarryTheirBody(t *testing.T) {
	tests := []struct {
		in   WriteIn
		want map[string]string
	}{
		{WriteIn{}, nil},
		{WriteIn{Body: "hi"}, map[string]string{"content-type": "text/plain; charset=utf-8"}},
		{WriteIn{Body: "{}", ContentType: "application/json"}, map[string]string{"content-type": "application/json"}},
	}
	for action, method := range map[string]string{"post": "POST", "put": "PUT", "patch": "PATCH"} {
		for _, tt := range tests {
			host := sdktest.New(t).ReplyHTTP(method, url, abi.HTTPResponse{Status: 201})
			tt.in.URL = url
			out, err := sdktest.Run[Out](host, action, tt.in)
			if err != nil || !out.OK {
				t.Errorf("%s = %+v, %v", action, out, err)
			}
			if sent := host.Calls("")[0].HTTP(); sent.Body != tt.in.Body || !reflect.DeepEqual(sent.Headers, tt.want) {
				t.Errorf("%s sent %+v, want headers %v", action, sent, tt.want)
			}
		}
	}
}

func TestABinaryBody(t *testing.T) {
	host := sdktest.New(t).ReplyHTTP("GET", url, abi.HTTPResponse{BodyBase64: "/wA="})
	if out, err := sdktest.Run[Out](host, "get", ReadIn{URL: url}); err != nil || out.Body != "/wA=" || !out.Binary {
		t.Errorf("get = %+v, %v", out, err)
	}
}

func TestADenialStaysADenial(t *testing.T) {
	host := sdktest.New(t).Fail(abi.ToolHTTPRequest, abi.FailDenied)
	_, err := sdktest.Run[Out](host, "get", ReadIn{URL: url})
	var f *sdk.Failure
	if !errors.As(err, &f) || f.Code != abi.FailDenied {
		t.Errorf("get = %v, want %s", err, abi.FailDenied)
	}
	if calls := host.Calls(""); len(calls) != 1 {
		t.Errorf("a denied call was made %d times", len(calls))
	}
}
