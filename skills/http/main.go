// Command http is the skill writ/http: plain HTTP requests, one action per
// method, so that policy can tell reading from writing.
package main

import (
	"encoding/base64"
	"maps"
	"unicode/utf8"

	"github.com/writ-run/writ/sdk"
)

// ReadIn is the input of get and head.
type ReadIn struct {
	URL     string            `json:"url" doc:"Absolute http or https URL"`
	Headers map[string]string `json:"headers,omitempty" doc:"Header fields to send"`
}

// WriteIn is the input of post, put and patch.
type WriteIn struct {
	ReadIn
	Body        string `json:"body,omitempty" doc:"The body, as text"`
	ContentType string `json:"contentType,omitempty" doc:"Media type of the body; text/plain if absent"`
}

// Out is what the server answered, whatever its status.
type Out struct {
	Status  int               `json:"status"`
	OK      bool              `json:"ok" doc:"Whether the status is 200 to 299"`
	Headers map[string]string `json:"headers" doc:"By lower-case name"`
	Body    string            `json:"body" doc:"The body, or its base64 form where binary is true"`
	Binary  bool              `json:"binary"`
}

func reading(method string) func(*sdk.Context, ReadIn) (Out, error) {
	return func(c *sdk.Context, in ReadIn) (Out, error) {
		return send(c, sdk.HTTPRequest{Method: method, URL: in.URL, Headers: in.Headers})
	}
}

func writing(method string) func(*sdk.Context, WriteIn) (Out, error) {
	return func(c *sdk.Context, in WriteIn) (Out, error) {
		headers := map[string]string{}
		maps.Copy(headers, in.Headers)
		if in.Body != "" || in.ContentType != "" {
			headers["content-type"] = in.ContentType
			if in.ContentType == "" {
				headers["content-type"] = "text/plain; charset=utf-8"
			}
		}
		return send(c, sdk.HTTPRequest{Method: method, URL: in.URL, Headers: headers, Body: in.Body})
	}
}

func send(c *sdk.Context, request sdk.HTTPRequest) (Out, error) {
	response, err := sdk.HTTP(c, request)
	if err != nil {
		return Out{}, err
	}
	body, err := sdk.Body(response)
	if err != nil {
		return Out{}, err
	}
	out := Out{
		Status: response.Status, OK: response.Status >= 200 && response.Status < 300,
		Headers: response.Headers, Body: string(body),
	}
	if !utf8.Valid(body) {
		out.Body, out.Binary = base64.StdEncoding.EncodeToString(body), true
	}
	return out, nil
}

var (
	_ = sdk.Action("get", reading("GET"))
	_ = sdk.Action("head", reading("HEAD"))
	_ = sdk.Action("post", writing("POST"))
	_ = sdk.Action("put", writing("PUT"))
	_ = sdk.Action("patch", writing("PATCH"))
	_ = sdk.Action("delete", reading("DELETE"))
)

func main() {} // a skill is entered through its actions
