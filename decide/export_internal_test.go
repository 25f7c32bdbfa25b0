package decide

// AppendExample lets benchmarks teach a model without people.
var AppendExample = appendExample
