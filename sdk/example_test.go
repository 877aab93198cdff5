package sdk_test

import (
	"fmt"

	"github.com/writ-run/writ/sdk"
)

type GreetIn struct {
	Name string `json:"name" doc:"Who to greet"`
}

type GreetOut struct {
	Greeting string `json:"greeting"`
}

func greet(_ *sdk.Context, in GreetIn) (GreetOut, error) {
	if in.Name == "" {
		return GreetOut{}, sdk.Fail("no_name", "there is nobody to greet")
	}
	return GreetOut{Greeting: "Hello, " + in.Name + "!"}, nil
}

var _ = sdk.Action("greet", greet)

func Example() {
	output, _ := sdk.Run(sdk.NewContext(nil), "greet", []byte(`{"name":"Ada"}`))
	fmt.Println(string(output))
	_, failure := sdk.Run(sdk.NewContext(nil), "greet", []byte(`{"name":""}`))
	fmt.Println(failure)
	// Output:
	// {"greeting":"Hello, Ada!"}
	// no_name: there is nobody to greet
}
