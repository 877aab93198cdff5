// Command hello is a skill for Writ.
package main

import "github.com/writ-run/writ/sdk"

// In is the input of greet.
type In struct {
	Name string `json:"name" doc:"Who to greet"`
}

// Out is the output of greet.
type Out struct {
	Greeting string `json:"greeting" doc:"A friendly line"`
}

func greet(_ *sdk.Context, in In) (Out, error) {
	if in.Name == "" {
		return Out{}, sdk.Fail("no_name", "there is nobody to greet")
	}
	return Out{Greeting: "Hello, " + in.Name + "!"}, nil
}

var _ = sdk.Action("greet", greet)

func main() {} // a skill is entered through its actions
