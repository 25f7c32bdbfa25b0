package condition_test

import (
	"errors"
	"fmt"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

func ExampleParse() {
	_, err := condition.Parse(`traits.country == "NO" && performed("Order").cuont() > 2`)
	fmt.Println(err)
	if at, ok := errors.AsType[*condition.SyntaxError](err); ok {
		fmt.Println(at.Caret())
	}
	// Output:
	// line 1, column 46: there is no function cuont; did you mean count?
	// traits.country == "NO" && performed("Order").cuont() > 2
	//                                              ^
}

func ExampleCondition_Explain() {
	c, err := condition.Parse(`properties.revenue > 20 && properties.currency == "NOK"`)
	if err != nil {
		fmt.Println(err)
		return
	}
	event := &condition.EventEnv{Properties: rapport.FieldsOf(map[string]any{"revenue": 12.5})}
	e := c.Explain(event)
	fmt.Println(e.Holds)
	fmt.Println(e.Reason())
	// Output:
	// false
	// properties.revenue > 20 (properties.revenue is 12.5)
	// properties.currency == "NOK" (properties.currency is missing)
}
