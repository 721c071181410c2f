"""The steps of a billing period, what each of them needs, and the gate that every change passes."""
